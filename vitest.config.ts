/** For `npx vitest` without arguments, and for editors: Vitest does not look for the workspace by itself. */
export { default } from "./vitest.workspace.ts"
