/**
 * Brokers that are wrong on purpose, in one way each: what checks a broker has to find out.
 */
import * as Effect from "effect/Effect"
import type { Broker, Delivery, Subscriber } from "@millrace/core/cluster/Broker"
import * as Parcel from "@millrace/core/cluster/Parcel"
import type { Spec } from "./brokerKit.ts"

type Node = Broker["Service"]

const telling = (node: Node, change: (subscriber: Subscriber) => Subscriber): Node => ({
  ...node,
  attach: (subscriber) => node.attach(change(subscriber))
})

/** Each a broker, made wrong. */
export const bugs = {
  /** Every seventh delivery of a topic comes behind the one that comes after it. */
  order: (node) =>
    telling(node, (subscriber) => {
      const held = new Map<string, Delivery>()
      let count = 0
      return {
        ...subscriber,
        deliver: (delivery) => {
          const late = held.get(delivery.topic)
          held.delete(delivery.topic)
          if (late === undefined && ++count % 7 === 0) return void held.set(delivery.topic, delivery)
          subscriber.deliver(delivery)
          if (late !== undefined) subscriber.deliver(late)
        }
      }
    }),
  /** What is published with a key is not known when it comes again. */
  dedupe: (node) => ({
    ...node,
    publish: (topic, { except, message }) => node.publish(topic, Parcel.make(message, undefined, except))
  }),
  /** Nobody is told of what was lost. */
  gap: (node) => telling(node, (subscriber) => ({ ...subscriber, lost: () => {} })),
  /** Every eleventh delivery comes again. */
  twice: (node) =>
    telling(node, (subscriber) => {
      let count = 0
      return {
        ...subscriber,
        deliver: (delivery) => {
          subscriber.deliver(delivery)
          if (++count % 11 === 0) subscriber.deliver(delivery)
        }
      }
    }),
  /** Every fiftieth delivery never comes. */
  lost: (node) =>
    telling(node, (subscriber) => {
      let count = 0
      return {
        ...subscriber,
        deliver: (delivery) => {
          if (++count % 50 !== 0) subscriber.deliver(delivery)
        }
      }
    }),
  /** The history has nothing of what was published last. */
  tail: (node) => ({
    ...node,
    since: (topics, position) =>
      Effect.map(node.since(topics, position), (missed) => ({ ...missed, entries: missed.entries.slice(0, -1) }))
  }),
  /** Says that it is subscribed before it is. */
  early: (node) => ({
    ...node,
    attach: (subscriber) =>
      Effect.map(node.attach(subscriber), (attachment) => ({
        ...attachment,
        subscribe: (topic) =>
          Effect.andThen(
            node.position,
            Effect.tap(node.position, () => Effect.forkDetach(Effect.delay(attachment.subscribe(topic), 20)))
          )
      }))
  }),
  /** A publication is told to be somewhere else than it is. */
  receipt: (node) => ({
    ...node,
    publish: (topic, parcel) =>
      Effect.map(node.publish(topic, parcel), (receipt) => ({
        ...receipt,
        position: { ...receipt.position, offset: receipt.position.offset + 1 }
      }))
  }),
  /** What cannot be reached is told to be up. */
  status: (node) => ({ ...node, status: () => ({ _tag: "Up", since: 0 }) }),
  /** Hears twice. */
  cast: (node) => ({
    ...node,
    hear: (channel, heard) =>
      node.hear(channel, (bytes) => {
        heard(bytes)
        heard(bytes)
      })
  })
} satisfies Record<string, (node: Node) => Node>

export type Bug = keyof typeof bugs

/** The same brokers, each with the bug; faults happen to them as to those without it. */
export const planted = (bug: Bug, spec: Spec): Spec => ({
  ...spec,
  make: Effect.map(spec.make, (made) => {
    const sound = new Map<Node, Node>()
    const { cut, partition, pause, restart } = made.faults ?? {}
    const its = (node: Node) => sound.get(node) ?? node
    return {
      ...made,
      connect: Effect.map(made.connect, (node) => {
        const wrong: Node = bugs[bug](node)
        sound.set(wrong, node)
        return wrong
      }),
      faults: {
        ...(cut === undefined ? {} : { cut: (node: Node) => cut(its(node)) }),
        ...(partition === undefined ? {} : { partition: (node: Node) => partition(its(node)) }),
        ...(pause === undefined ? {} : { pause }),
        ...(restart === undefined ? {} : { restart })
      }
    }
  })
})
