/** What socket.io's users load for the like. */
import { io } from "socket.io-client"

const chat = io()
chat.emit("say", { text: "hello" })
chat.emitWithAck("rename", "ada").then(console.log)
chat.on("said", ({ from, text }) => console.log(from, text))
