/**
 * Tells at the end of a run which tests failed first and passed when they were tried again: each is a defect, of the test
 * or of what it tests, that a run of thousands on a busy machine should show and not fail for.
 */
import type { Reporter, TestCase } from "vitest/node"

export default class SecondTry implements Reporter {
  private readonly names: Array<string> = []

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky !== true) return
    const why = test.result().errors?.[0]?.message.split("\n")[0] ?? "it did not say why"
    this.names.push(`${test.module.relativeModuleId} > ${test.fullName}: ${why}`)
  }

  onTestRunEnd(): void {
    if (this.names.length === 0) return
    console.log(`\nmillrace: FAILED FIRST, PASSED WHEN TRIED AGAIN:`)
    for (const name of this.names) console.log(`  ${name}`)
  }
}
