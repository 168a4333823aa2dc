import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { chromium, type Browser, type BrowserServer } from 'playwright-core'
import { findExecutable } from './executables.ts'

/** The browser of this machine, or null: browser tests are skipped then. */
export async function chromiumPath (): Promise<string | null> {
  if (process.env['CHROMIUM_PATH']) return process.env['CHROMIUM_PATH']
  // The headless shell first: it needs half the CPU of the browser with windows.
  for (const name of ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']) {
    const path = await findExecutable(name)
    // Ubuntu has one that does nothing but ask for a snap.
    if (path !== null && await promisify(execFile)(path, ['--version']).then(() => true, () => false)) return path
  }
  return null
}

/**
 * Chromium shows suggestions below its address bar with pages of its own: a process for each window, which takes more time than the
 * page that is tested. The others are those that Playwright switches off, as the last such argument alone counts.
 */
const DISABLED_FEATURES = [
  'WebUIOmniboxPopup', 'WebUIOmniboxAimPopup', 'WebUIOmniboxFullPopup',
  'AvoidUnnecessaryBeforeUnloadCheckSync', 'DestroyProfileOnBrowserClose', 'HttpsUpgrades', 'HttpsFirstBalancedModeAutoEnable',
  'LensOverlay', 'MediaRouter', 'PaintHolding', 'ThirdPartyStoragePartitioning', 'AvoidCorsURLLoaderRestartOnRedirect',
  'OptimizationHints', 'NetworkTimeServiceQuerying', 'AimEnabled', 'PreconnectToSearch'
]

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', `--disable-features=${DISABLED_FEATURES.join()}`
]

/** Starts the browser that all files of a test run share: they find it by BROWSER_ENDPOINT. */
export function startBrowser (executablePath: string): Promise<BrowserServer> {
  return chromium.launchServer({ executablePath, args: ARGS })
}

/** The shared browser; where there is none, one of this test's own. */
export async function openBrowser (t: { teardown (ended: () => unknown): unknown }): Promise<Browser> {
  const endpoint = process.env['BROWSER_ENDPOINT']
  const browser = endpoint ? await chromium.connect(endpoint) : await chromium.launch({ executablePath: (await chromiumPath())!, args: ARGS })
  t.teardown(() => browser.close())
  return browser
}
