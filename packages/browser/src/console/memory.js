/** What a browser keeps for this page. It may refuse to, and the page does without. */

/**
 * @param {"localStorage" | "sessionStorage"} kind
 * @param {string} name
 */
export const recall = (kind, name) => {
  try {
    return window[kind].getItem(`millrace.${name}`)
  } catch {
    return null
  }
}

/**
 * @param {"localStorage" | "sessionStorage"} kind
 * @param {string} name
 * @param {string} value
 */
export const keep = (kind, name, value) => {
  try {
    window[kind].setItem(`millrace.${name}`, value)
  } catch {
    // A reload begins anew.
  }
}
