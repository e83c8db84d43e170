/**
 * Channels of Action Cable: what a program does with those who subscribe to one. They are in a closed table by their
 * names; what a client says is looked up in it and nowhere else.
 *
 *     const ChatChannel: Channel.Channel = ({ params }) =>
 *       typeof params["room"] === "string" ? Effect.succeed({ topics: [`chat/${params["room"]}`] }) : Channel.reject
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Client } from "../../cluster/HubAccess.ts"
import type * as Packet from "./Packet.ts"

/** A subscription is not taken. The client hears `reject_subscription`, which has no room for a reason. */
export class Rejected extends Data.TaggedError("Rejected")<{}> {
  override get message(): string {
    return "the subscription is rejected"
  }
}

export const reject: Effect.Effect<never, Rejected> = Effect.fail(new Rejected())

/** Who wants to subscribe, and to what. */
export interface Subscribing<out Request = unknown> {
  /** What stood beside `channel` in the identifier: anything that a client may write. */
  readonly params: Packet.Payload
  readonly client: Client<Request>
  /** As the client wrote it, by which it knows the subscription. */
  readonly identifier: string
}

/** A subscription that is taken. Nothing of it is required. */
export interface Subscription<out R = never> {
  /** What is published to these topics of the hub is transmitted. They are live before the client hears that it is in. */
  readonly topics?: ReadonlyArray<string> | undefined
  /** What else is transmitted, from when the client has heard that it is in: values of JSON. Its end ends nothing. */
  readonly transmissions?: Stream.Stream<unknown, never, R> | undefined
  /**
   * An action is called, `receive` where the client has named none. One after the other for each client, whose next
   * words wait for it. A failure is logged, and the client told nothing, as by the reference.
   */
  readonly perform?: ((action: string, data: Packet.Payload) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Where whispers go, one of `topics`; without it they are dropped. Clients of AnyCable's protocol have them. */
  readonly whispers?: string | undefined
  /**
   * The topic of the hub in which clients may be present, and are told who is; without it they are told that there is no
   * such thing. Clients of AnyCable's protocol have it, and say themselves as whom; `id` says it in their place.
   */
  readonly presence?: { readonly topic: string; readonly id?: string | undefined } | undefined
}

/**
 * Decides on a subscription. The scope is that of the subscription: what it holds is released when the client has
 * unsubscribed or gone.
 */
export type Channel<in Request = unknown, out R = never> = (
  subscribing: Subscribing<Request>
) => Effect.Effect<Subscription<R>, Rejected, R | Scope.Scope>

/** The table: what is not in it is rejected. Only what the object has itself counts. */
export type Channels<Request = unknown, R = never> = Readonly<Record<string, Channel<Request, R>>>
