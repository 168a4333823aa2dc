// What is wrong with a page for people who cannot see it as it was drawn.
import axe from 'axe-core'
import type { Locator, Page } from 'playwright-core'

/** What axe finds, by its rules and best practices; the page's own policy does not let it in as a script. */
export async function audit (page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const { violations } = await page.evaluate('axe.run()') as axe.AxeResults
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`))
}

/** The colours that one sees at the middle of an element's height, at parts of its width. */
export async function colorsOf (page: Page, element: Locator, parts: readonly number[]): Promise<string[]> {
  await element.scrollIntoViewIfNeeded()
  const { x, y, width, height } = (await element.boundingBox())!
  const shot = await page.screenshot()
  const canvas = await page.context().newPage()
  const points = parts.map(part => [Math.round(x + part * width), Math.round(y + height / 2)])
  const colors = await canvas.evaluate(`(async () => {
    const image = await createImageBitmap(await (await fetch('data:image/png;base64,${shot.toString('base64')}')).blob())
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d')
    context.drawImage(image, 0, 0)
    return ${JSON.stringify(points)}.map(([x, y]) => context.getImageData(x, y, 1, 1).data.join())
  })()`) as string[]
  await canvas.close()
  return colors
}
