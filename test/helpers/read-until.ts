/** Null once the text has come, else everything that came instead. The rest is thrown away, lest the pipe fill up. */
export function readUntil (stream: NodeJS.ReadableStream, text: string): Promise<string | null> {
  return new Promise(resolve => {
    let seen = ''
    stream.setEncoding('utf8')
    stream.on('end', () => resolve(seen))
    stream.on('data', function listen (chunk: string) {
      seen += chunk
      if (!seen.includes(text)) return
      stream.off('data', listen).resume()
      resolve(null)
    })
  })
}
