/** The views of the page, one at a time, as tabs: arrows, Home and End go from one to the next. */

const tabs = [...document.querySelectorAll('[role="tab"]')].filter((tab) => tab instanceof HTMLButtonElement)

/** @param {HTMLButtonElement} chosen */
const show = (chosen) => {
  for (const tab of tabs) {
    const isChosen = tab === chosen
    tab.ariaSelected = String(isChosen)
    tab.tabIndex = isChosen ? 0 : -1
    const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "")
    if (panel !== null) panel.hidden = !isChosen
  }
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener("click", () => show(tab))
  tab.addEventListener("keydown", ({ key }) => {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[key]
    const next = to === undefined ? undefined : tabs[to % tabs.length]
    if (next === undefined) return
    show(next)
    next.focus()
  })
}

/**
 * Shows a view.
 *
 * @param {string} id Of its panel.
 */
export const open = (id) => {
  const tab = tabs.find((candidate) => candidate.getAttribute("aria-controls") === id)
  if (tab !== undefined) show(tab)
}
