/** What a page of a test of tabs does: a client of the hub, and what it hears of one topic. Bundled by `tabs.ts`. */
import * as BrowserTabs from "@millrace/browser/BrowserTabs"
import type { HubClientError } from "@millrace/core/cluster/HubClientError"
import * as Position from "@millrace/core/cluster/Position"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export interface Options {
  readonly url: string
  readonly worker?: string | undefined
}

/** Messages by their positions, in order; what else there was as it is called. */
export const heard: Array<string> = []
export const states: Array<string> = []
export const roles: Array<string> = []
export const data: Array<unknown> = []
export const failures: Array<string> = []

let hub: BrowserTabs.TabsHub
const scope = Scope.makeUnsafe()

const watch = <A>(stream: Stream.Stream<A>, each: (value: A) => void) =>
  Effect.forkScoped(Stream.runForEach(stream, (value) => Effect.sync(() => each(value))))

export const start = ({ url, worker }: Options): Promise<void> =>
  Effect.runPromise(
    Effect.gen(function* () {
      hub = yield* BrowserTabs.hub({
        name: "test",
        url,
        ...(worker === undefined ? {} : { worker: () => new SharedWorker(worker, { name: "test" }) })
      })
      yield* watch(hub.states, ({ _tag }) => states.push(_tag))
      yield* watch(hub.roles, (role) => roles.push(role))
    }).pipe(Scope.provide(scope))
  )

/** Reads the topic until the page is over; comes back when it is subscribed to. */
export const listen = (topic: string): Promise<void> =>
  new Promise((resolve) => {
    const read = Stream.runForEach(hub.subscribe(topic), (element) =>
      Effect.sync(() => {
        const { _tag } = element
        const position = "position" in element && element.position !== undefined ? Position.print(element.position) : ""
        heard.push(_tag === "Message" ? position : `${_tag} ${position}`)
        if (_tag === "Message") data.push(element.data)
        if (_tag === "Subscribed") resolve()
      })
    )
    const told = Effect.catch(read, (error: HubClientError) => Effect.sync(() => void failures.push(error.message)))
    Effect.runFork(Effect.forkIn(told, scope))
  })

export const publish = (topic: string, value: unknown): Promise<string> =>
  Effect.runPromise(Effect.map(hub.publish(topic, value), ({ position }) => Position.print(position!)))

export const role = (): Promise<BrowserTabs.Role> => Effect.runPromise(hub.role)

export const stop = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void))
