/** A connection that has agreed on permessage-deflate, over a transport whose far end is the test. */
import { randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { expect } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import * as Extension from "@millrace/core/connection/Extension"
import type { Limits } from "@millrace/core/connection/Limits"
import type * as Message from "@millrace/core/protocol/Message"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as support from "../../support/connection.ts"
import { concat } from "../../support/frames.ts"
import { type Role, toward } from "../rfc6455/endpoint.ts"
import { tail } from "./deflate.ts"
import { meaning } from "./negotiation.ts"

const parse = (value: string) => Result.getOrThrow(Extensions.parse(value))

/** All that can be compressed is, with windows as large as was agreed on. */
const eager: NodeDeflate.CompressionOptions = { threshold: 0, compressorWindowBits: 15 }

/** What that role has agreed on when the server answered so. The client lets itself be limited. */
export const agree = (role: Role, response: string, options: NodeDeflate.CompressionOptions = {}): Extension.Agreed => {
  if (role === "client") {
    const extension = NodeDeflate.compression({ ...eager, ...options })
    return Result.getOrThrow(Extension.verify([extension], parse(response)))
  }
  const extension = NodeDeflate.compression({ ...eager, ...options, server: meaning(response) })
  const agreed = Extension.accept([extension], parse("permessage-deflate; client_max_window_bits"))
  expect(Result.getOrThrow(Extensions.print(agreed.response))).toBe(response)
  return agreed
}

export const over = (role: Role, agreed: Extension.Agreed, limits?: Partial<Limits>) =>
  Effect.map(support.open(role, limits, undefined, agreed), (opened) => ({
    ...opened,
    /** Frames written unmasked, in hex or as bytes, arrive. */
    receive: (...wire: ReadonlyArray<string>) => {
      for (const frames of wire) opened.far.push(toward(role, frames))
    },
    /** Sends messages, each of them compressed if anything can be, and gives the payloads that were written. */
    payloads: (...messages: ReadonlyArray<Message.Sendable>) =>
      Effect.gen(function* () {
        const before = opened.far.frames.length
        for (const message of messages) yield* opened.connection.send(message)
        yield* support.turn
        return opened.far.frames.slice(before).map(({ payload }) => payload)
      })
  }))

export const open = (role: Role, response: string, options?: NodeDeflate.CompressionOptions) =>
  over(role, agree(role, response, options))

export type Opened = Effect.Success<ReturnType<typeof over>>

/** The compressed messages as they were before a sender took the last octets away: one stream of DEFLATE. */
export const rejoined = (payloads: ReadonlyArray<Uint8Array>): Uint8Array =>
  concat(payloads.flatMap((payload) => [payload, tail]))

/** Bytes that nothing in them repeats. */
export const noise = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
