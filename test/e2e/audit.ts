// What is wrong with a page for people who cannot see it as it was drawn.
import axe from 'axe-core'
import type { Locator, Page } from 'playwright-core'

/** The rules of axe's category of colours that are on unless one asks for more than WCAG's AA. */
const COLOR_RULES = ['color-contrast', 'link-in-text-block']

/**
 * What axe finds, by its rules and best practices; the page's own policy does not let it in as a script. Of a page that was audited in the
 * light, only the colours differ in the dark.
 */
export async function audit (page: Page, what: 'everything' | 'colors' = 'everything'): Promise<string[]> {
  await page.evaluate(axe.source)
  const options: axe.RunOptions = { resultTypes: ['violations'], ...(what === 'colors' && { runOnly: COLOR_RULES }) }
  const { violations } = await page.evaluate(`axe.run(${JSON.stringify(options)})`) as axe.AxeResults
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`))
}

/** The colours of an element as it is on the screen, at places given as parts of its width and height. */
export async function colorsOf (element: Locator, places: ReadonlyArray<readonly [x: number, y: number]>): Promise<string[]> {
  const png = (await element.screenshot()).toString('base64')
  const blank = await element.page().context().newPage()
  const colors = await blank.evaluate(`(async () => {
    const image = await createImageBitmap(await (await fetch('data:image/png;base64,${png}')).blob())
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d')
    context.drawImage(image, 0, 0)
    const colorAt = ([x, y]) => context.getImageData(Math.floor(x * image.width), Math.floor(y * image.height), 1, 1).data.join()
    return ${JSON.stringify(places)}.map(colorAt)
  })()`) as string[]
  await blank.close()
  return colors
}
