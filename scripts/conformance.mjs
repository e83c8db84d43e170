/** `npm run conformance`: writes docs/conformance.md anew, after a sentence or a test of one was added or renamed. */
import { writeFileSync } from "node:fs"
import { document, render } from "../test/conformance/table.ts"

writeFileSync(document, render())
