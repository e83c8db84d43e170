# A server of Action Cable as Rails has it, on a free port of loopback: prints the port and its version, then does what it
# is told on standard input, a line of JSON each, and ends with it.
require "json"
require "rack"
require "puma"
require "action_cable"

module ApplicationCable
  class Connection < ActionCable::Connection::Base
    identified_by :user

    def connect
      self.user = request.params["user"] || reject_unauthorized_connection
    end
  end

  class Channel < ActionCable::Channel::Base
  end
end

class ChatChannel < ApplicationCable::Channel
  def subscribed
    reject if params[:room] == "secret"
    raise "on purpose" if params[:room] == "broken"
    stream_from "chat/#{params[:room]}"
    stream_from "all" if params[:all]
  end

  def receive(data)
    transmit({ "received" => data })
  end

  def speak(data)
    ActionCable.server.broadcast "chat/#{params[:room]}", { "text" => data["text"] }
  end

  def answer(data)
    transmit data["with"]
  end

  def leave(_data)
    stop_all_streams
  end

  def refuse(_data)
    raise "on purpose"
  end

  private

  def hidden(_data)
    transmit "hidden"
  end
end

class NotAChannel
end

ActionCable::Server::Base.config.tap do |config|
  config.cable = { "adapter" => "async" }
  config.logger = Logger.new($stderr, level: Logger::FATAL)
  config.connection_class = -> { ApplicationCable::Connection }
  config.disable_request_forgery_protection = true
  # So that the order of what it says is that of what it was told.
  config.worker_pool_size = 1
end

puma = Puma::Server.new(->(env) { ActionCable.server.call(env) }, Puma::Events.null)
port = puma.add_tcp_listener("127.0.0.1", 0).addr[1]
puma.run
puts JSON.generate(port: port, version: ActionCable.version.to_s)
$stdout.flush

while (line = $stdin.gets)
  case JSON.parse(line)
  in ["broadcast", stream, data] then ActionCable.server.broadcast(stream, data)
  in ["disconnect", user] then ActionCable.server.remote_connections.where(user: user).disconnect
  in ["restart"] then ActionCable.server.restart
  end
end
exit!
