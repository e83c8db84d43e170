/** The native streams of zlib, which nothing else in Node.js counts. */
import { createHook } from "node:async_hooks"

export interface ZlibHandles {
  /** Made since the count began. */
  readonly made: number
  /** Made and not closed. */
  readonly open: number
  /** The most that were open at a time. */
  readonly most: number
  /** How often a thread was given something to do. */
  readonly steps: number
  readonly stop: () => void
}

/** Counts from now on. */
export const countZlibHandles = (): ZlibHandles => {
  const handles = { made: 0, open: 0, most: 0, steps: 0, stop: () => void hook.disable() }
  const hook = createHook({
    init: (_id, type, _trigger, resource) => {
      if (type !== "ZLIB") return
      handles.made++
      handles.open++
      handles.most = Math.max(handles.most, handles.open)
      const handle = resource as { close: () => void; write: (...input: Array<unknown>) => void }
      const { close, write } = handle
      handle.write = (...input) => {
        handles.steps++
        write.apply(handle, input)
      }
      handle.close = () => {
        handles.open--
        close.call(handle)
      }
    }
  })
  hook.enable()
  return handles
}
