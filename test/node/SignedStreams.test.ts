/**
 * Names of streams that a Rails program has signed. The vectors were made by the rule and not by this code:
 *
 *     T=$(printf '%s' '"room:lobby"' | base64 -w0)
 *     printf '%s' "$T" | openssl dgst -sha256 -hmac s3Krit
 *
 * and for the secret of bytes with `-mac HMAC -macopt hexkey:00ff10`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Hub from "@millrace/core/cluster/Hub"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as SignedStreams from "@millrace/node/SignedStreams"
import { confirmed, connector, I, rejected } from "../support/cable.ts"
import { turn } from "../support/connection.ts"

const secret = "s3Krit"
const lobby = "InJvb206bG9iYnki--7a6f39726433cc6cb786728cb82bcc6f8a37ed875512ec46e99562231faf323b"
const room =
  "IloybGtPaTh2WVhCd0wxSnZiMjB2TVE6bWVzc2FnZXMi--0539feb9da695fd160708e8880fba54ca5905fdec356ea70e1bbd95ecfac5c89"
/** What is signed is `["a"]`. */
const noName = "WyJhIl0=--e7d945d1d982a9df75295fa3971e14f7c652afa26ba2f89093541a8ee8a48e2b"

describe("a signed name", () => {
  it("is what was signed, by a secret of text or of bytes", () => {
    assert.strictEqual(SignedStreams.sign("room:lobby", secret), lobby)
    assert.strictEqual(SignedStreams.verify(lobby, secret), "room:lobby")
    const bytes = Uint8Array.of(0x00, 0xff, 0x10)
    assert.strictEqual(SignedStreams.verify(room, bytes), "Z2lkOi8vYXBwL1Jvb20vMQ:messages")
    assert.strictEqual(SignedStreams.verify(SignedStreams.sign("hé 🦀", bytes), bytes), "hé 🦀")
  })

  it("is none where one character is another, by another secret, or where it is no name", () => {
    for (let at = 0; at < lobby.length; at++) {
      const other = lobby[at] === "0" ? "1" : "0"
      assert.isUndefined(SignedStreams.verify(lobby.slice(0, at) + other + lobby.slice(at + 1), secret), `at ${at}`)
    }
    for (const signed of ["", "--", lobby.slice(0, -1), `${lobby}0`, lobby.toUpperCase(), `${lobby}\n`, noName]) {
      assert.isUndefined(SignedStreams.verify(signed, secret))
    }
    assert.isUndefined(SignedStreams.verify(lobby, "another"))
  })

  it("needs a secret", () => {
    assert.throws(() => SignedStreams.channels({ secret: "" }), TypeError)
    assert.throws(() => SignedStreams.channels({ secret, turboSecret: new Uint8Array(0) }), TypeError)
  })
})

describe("the channels of signed names", () => {
  it.effect("are the topics of these names, for who has one that its secret has signed", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const channels = SignedStreams.channels({ secret, turboSecret: "turbo's" })
      const ada = yield* connector(hub, yield* CableServer.make({ channels }))("ada")
      ada.heard()
      const turbo = I("Turbo::StreamsChannel", { signed_stream_name: SignedStreams.sign("page", "turbo's") })
      const pubsub = I("$pubsub", { signed_stream_name: lobby })
      for (const identifier of [turbo, pubsub]) {
        yield* ada.subscribe(identifier)
        assert.deepStrictEqual(ada.heard(), [confirmed(identifier)])
      }
      for (const identifier of [
        I("Turbo::StreamsChannel", { signed_stream_name: lobby }),
        I("$pubsub", { signed_stream_name: SignedStreams.sign("$nodes", secret) }),
        I("$pubsub", { signed_stream_name: ["room:lobby"] }),
        I("$pubsub", { stream_name: "room:lobby" })
      ]) {
        yield* ada.subscribe(identifier)
        assert.deepStrictEqual(ada.heard(), [rejected(identifier)])
      }
      yield* hub.publish("page", JSON.stringify("<turbo-stream></turbo-stream>"))
      yield* hub.publish("room:lobby", "1")
      yield* turn
      assert.deepStrictEqual(ada.heard(), [
        { identifier: turbo, message: "<turbo-stream></turbo-stream>" },
        { identifier: pubsub, message: 1 }
      ])
    })
  )
})
