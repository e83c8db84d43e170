/** The same in a page: `npx rolldown page.ts --file page.js`. */
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as Client from "@millrace/core/messaging/Client"
import * as Session from "@millrace/core/messaging/Session"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Chat } from "./contract.ts"

const find = (id: string) => document.querySelector<HTMLElement>(`#${id}`)!

const add = ({ from, text }: { readonly from: string; readonly text: string }) => {
  const line = document.createElement("li")
  line.textContent = `${from}: ${text}`
  find("lines").append(line)
}

const show = (text: string) =>
  Effect.sync(() => {
    find("state").textContent = text
  })

/** What is typed into a form, each time that it is sent. */
const typed = (form: string) =>
  Stream.callback<string>((queue) =>
    Effect.sync(() =>
      find(form).addEventListener("submit", (event) => {
        event.preventDefault()
        const [input] = (event.target as HTMLFormElement).getElementsByTagName("input")
        Queue.offerUnsafe(queue, input!.value)
        input!.value = ""
      })
    )
  )

const main = Effect.gen(function* () {
  const open = BrowserWebSocket.open("/chat", { subprotocols: Session.subprotocols() })
  const chat = yield* Client.make(Chat, open)
  yield* Effect.all(
    [
      Stream.runForEach(chat.states, ({ _tag }) => show(_tag)),
      Stream.runForEach(Stream.concat(chat.stream("history"), chat.events("said")), (line) =>
        Effect.sync(() => add(line))
      ),
      Stream.runForEach(typed("say"), (text) => chat.emit("say", text)),
      Stream.runForEach(typed("rename"), (name) =>
        chat.request("rename", name).pipe(
          Effect.andThen(show(`you are ${name}`)),
          Effect.catchTag("NameTaken", () => show(`somebody is called ${name} already`))
        )
      )
    ],
    { concurrency: "unbounded" }
  )
})

Effect.runFork(Effect.scoped(main))
