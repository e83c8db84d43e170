/**
 * README's pictures: starts a hub, lets two people talk on its page, and writes what each of them sees, one in light
 * and one in dark, to docs/hub-light.png and docs/hub-dark.png.
 *
 *     node scripts/screenshot.mjs                        a hub of its own
 *     node scripts/screenshot.mjs http://localhost:8080  a hub that is running already
 */
import { spawn } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { launch } from "../test/support/chromium.ts"

const root = fileURLToPath(new URL("../", import.meta.url))
const most = 200_000 // bytes of a picture: it is loaded by everyone who looks at the README

/** A hub on a free port, and how to end it. */
const serve = async () => {
  const hub = spawn(process.execPath, [`${root}packages/node/bin/millrace.mjs`, "serve", "--port", "0"], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  let said = ""
  const url = await new Promise((resolve, reject) => {
    hub.stdout.setEncoding("utf8").on("data", (chunk) => {
      said += chunk
      const [found] = /http:\/\/[^\s"]+/.exec(said) ?? []
      if (found !== undefined) resolve(found)
    })
    hub.on("error", reject)
    hub.on("exit", () => reject(new Error(`millrace serve ended before it said where it listens:\n${said}`)))
  })
  return { url, end: () => hub.kill() }
}

const [, , running] = process.argv
const hub = running === undefined ? await serve() : { url: running, end: () => {} }
const browser = await launch()

/**
 * @param {string} name
 * @param {"light" | "dark"} colorScheme
 */
const visit = async (name, colorScheme) => {
  const context = await browser.newContext({
    colorScheme,
    deviceScaleFactor: 1.5,
    locale: "en-GB",
    reducedMotion: "reduce",
    viewport: { width: 1040, height: 716 }
  })
  const page = await context.newPage()
  const address = new URL(`/?topic=lobby&topic=weir&name=${name}`, hub.url)
  // The pictures are not to show a port that was free by chance.
  await page.addInitScript(() => {
    new MutationObserver(() => {
      for (const id of ["wscat", "curl"]) {
        const example = document.getElementById(id)
        const general = example?.textContent?.replace(/\/\/[^/]+/, "//localhost:8080")
        if (example && general !== undefined && example.textContent !== general) example.textContent = general
      }
    }).observe(document, { childList: true, subtree: true, characterData: true })
  })
  await page.goto(address.href)
  await page.locator("#state[data-state=connected]").waitFor()
  await page.locator("#topics li:not(.asking)").nth(1).waitFor()
  return page
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} topic
 * @param {string} text
 */
const say = async (page, topic, text) => {
  const before = await page.locator(".message").count()
  await page.locator("#to").selectOption(topic)
  await page.locator("#body").fill(text)
  await page.locator("#body").press("Enter")
  await page.locator(".message").nth(before).waitFor()
  await page.locator("#receipt", { hasText: "Sent to" }).waitFor()
}

try {
  // Somebody is in a topic that the two are not in.
  const cy = new WebSocket(new URL("/ws?name=cy", hub.url).href.replace("http", "ws"))
  cy.addEventListener("open", () => cy.send('{"type":"subscribe","topic":"millpond"}'))
  const ada = await visit("ada", "light")
  const grace = await visit("grace", "dark")
  await say(ada, "lobby", "Good morning! Is there water for the second wheel?")
  await say(grace, "lobby", "Nearly. It rained all night, and the weir is filling.")
  await fetch(new URL("/publish", hub.url), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ topic: "weir", data: { level: 1.42, unit: "m", rising: true } })
  })
  await ada.locator(".json").waitFor()
  await say(ada, "weir", "1.42 and rising. That is enough.")
  await say(grace, "lobby", "Then I open the gate. Mind your fingers.")
  await ada.locator(".message").nth(4).waitFor()
  await ada.locator("#to").selectOption("lobby")
  await ada.locator("#body").fill("It turns!")

  for (const page of [ada, grace]) {
    await page.locator("#topics .rate:not(:empty)").first().waitFor()
    await page.locator("#topics .line").nth(1).waitFor()
    await page.getByRole("button", { name: "millpond" }).waitFor()
    await page.locator("#latency-summary:not(:empty)").waitFor()
  }
  for (const [page, name] of /** @type {const} */ ([
    [ada, "hub-light"],
    [grace, "hub-dark"]
  ])) {
    const picture = await page.screenshot({ animations: "disabled", caret: "hide" })
    if (picture.length > most) throw new Error(`${name}.png would have ${picture.length} bytes, more than ${most}`)
    await writeFile(`${root}docs/${name}.png`, picture)
    console.log(`docs/${name}.png: ${picture.length} bytes`)
  }
} finally {
  await browser.close()
  hub.end()
}
