/** Where a client of the hub goes next: round the nodes that it was told of, and where it began. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

export class HubNodes {
  private all: ReadonlyArray<string> = []
  /** Which of them is next; behind the last there is none. `undefined` before the first attempt to go to one. */
  private next: number | undefined

  /** The hub has said where they are. */
  know(nodes: ReadonlyArray<string>): void {
    const { all } = this
    if (nodes.length === all.length && nodes.every((node, i) => node === all[i])) return
    this.all = nodes
    this.next = undefined
  }

  /** Opens something with those that there are, the next one first. */
  using<A, E, R>(open: (nodes: ReadonlyArray<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.flatMap(
      Effect.suspend(() => this.turn),
      open
    )
  }

  private get turn(): Effect.Effect<ReadonlyArray<string>> {
    const { all } = this
    if (all.length === 0) return Effect.succeed(all)
    const next =
      this.next === undefined ? Random.nextIntBetween(0, all.length, { halfOpen: true }) : Effect.succeed(this.next)
    return Effect.map(next, (at) => {
      this.next = (at + 1) % (all.length + 1)
      return at === all.length ? [] : [...all.slice(at), ...all.slice(0, at)]
    })
  }
}
