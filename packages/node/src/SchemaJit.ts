/**
 * Contracts whose schemas are compiled to JavaScript, by Effect's own compiler: a fraction of the time for each message,
 * and some time more for the first one. This file alone touches `effect/schema`, which Effect calls unstable.
 *
 * Where code cannot be generated, as under `--disallow-code-generation-from-strings`, nothing changes.
 */
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import type * as Coder from "@millrace/core/messaging/Coder"
import type * as Contract from "@millrace/core/messaging/Contract"
import * as SchemaCoder from "@millrace/core/messaging/SchemaCoder"

const codersOf = ({ credentials, says }: Contract.Contract): ReadonlyArray<Coder.Coder<unknown>> => [
  credentials,
  ...[...says.client.values(), ...says.server.values()].flatMap((coder) => {
    switch (coder._tag) {
      case "Message":
        return [coder.payload]
      case "Request":
        return [coder.payload, coder.success, coder.error]
      case "Stream":
        return [coder.payload, coder.element, coder.error]
    }
  })
]

/**
 * The same contract, whose schemas of Effect's are compiled when each is first used. To be called before: a coder that
 * has been used goes on as it was, and so do Standard Schemas.
 */
export const compile = <D extends Contract.Definition>(contract: Contract.Contract<D>): Contract.Contract<D> => {
  for (const coder of codersOf(contract)) {
    const source = SchemaCoder.sourceOf(coder)
    if (source === undefined) continue
    const { ast } = SchemaCoder.wireOf(source)
    SchemaJITCompiler.enable(ast)
    SchemaJITCompiler.enable(SchemaAST.flip(ast))
  }
  return contract
}
