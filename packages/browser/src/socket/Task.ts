/**
 * The end of what the platform is at: it dispatches the messages that have come together in one task, each as an event of
 * its own, and runs what was asked for here in another one behind it. Unlike a timer it is not held up in a page that is
 * not seen.
 */
let port: MessagePort | undefined
let waiting: Array<() => void> = []

/** Runs it in a task behind this one. */
export const afterwards = (run: () => void): void => {
  if (port === undefined) {
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener("message", () => {
      const all = waiting
      waiting = []
      for (const run of all) run()
    })
    port1.start()
    port = port2
  }
  if (waiting.push(run) === 1) port.postMessage(undefined)
}
