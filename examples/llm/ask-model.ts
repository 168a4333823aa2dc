// One call to a model: streamed, limited in time, ended with its task, and with errors that the queue understands.
import { ChartGenerationError } from 'fastify-async-charts'
import { APIConnectionError, APIError, RateLimitError, type OpenAI } from 'openai'

export interface Usage {
  model: string
  input_tokens: number
  output_tokens: number
}

export interface Question {
  client: OpenAI
  model: string
  messages: OpenAI.ChatCompletionMessageParam[]
  format: OpenAI.ChatCompletionCreateParams['response_format'] & object
  /** The same for each repetition of this call. */
  key: string
  /** ms that the whole answer may take. */
  timeout: number
  /** The generator's. */
  signal: AbortSignal
  /** Called with the number of characters that have come. */
  onText: (length: number) => void
  /** Called also where the answer is of no use: it was paid for. */
  onUsage: (usage: Usage) => void
}

/** Resolves to the text of the answer. */
export async function askModel (question: Question): Promise<string> {
  const { client, model, messages, format, key, timeout, signal } = question
  const deadline = AbortSignal.timeout(timeout)
  try {
    const stream = await client.chat.completions.create({
      model,
      messages,
      response_format: format,
      max_completion_tokens: 1_000,
      stream: true,
      stream_options: { include_usage: true }
    }, {
      signal: AbortSignal.any([signal, deadline]),
      // The queue repeats: no worker is occupied meanwhile, and the user is told.
      maxRetries: 0,
      headers: { 'idempotency-key': key }
    })
    return await read(stream, question)
  } catch (error) {
    // Cancelled, or the worker stops: that is no fault of the model.
    signal.throwIfAborted()
    if (deadline.aborted) throw new ChartGenerationError('The model took too long', { code: 'MODEL_TIMEOUT', retryable: true, cause: error })
    throw explained(error)
  }
}

async function read (stream: AsyncIterable<OpenAI.ChatCompletionChunk>, { model, onText, onUsage }: Question): Promise<string> {
  let text = ''
  let end: string | null = null
  for await (const { choices: [choice], usage } of stream) {
    if (usage) onUsage({ model, input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens })
    if (choice?.delta.refusal) end = 'refusal'
    end ??= choice?.finish_reason ?? null
    if (choice?.delta.content) onText((text += choice.delta.content).length)
  }
  switch (end) {
    case 'stop': return text
    // The library ends the loop quietly when the signal is aborted, and when the connection is closed in the middle.
    case null: throw new APIConnectionError({ message: 'the answer was cut off' })
    case 'length': throw new ChartGenerationError('The chart has too many parts', { code: 'MODEL_ANSWER_TOO_LONG' })
    default: throw new ChartGenerationError('The model refused to make this chart', { code: 'MODEL_REFUSED' })
  }
}

function explained (error: unknown): unknown {
  if (error instanceof RateLimitError && error.code !== 'insufficient_quota') {
    return new ChartGenerationError('The model is busy', { code: 'MODEL_BUSY', retryable: true, ...retryDelayOf(error.headers), cause: error })
  }
  // The key, the quota, the name of the model, the request: the next attempt would be refused, too.
  if (error instanceof APIError && error.status >= 400 && error.status < 500 && ![408, 409].includes(error.status)) {
    return new ChartGenerationError('Charts cannot be made at the moment', { code: 'MODEL_REJECTED', cause: error })
  }
  // What else there is passes: the queue logs it, waits, and makes another attempt.
  return error
}

/** What the provider says, as seconds or as a date; else the queue's own backoff counts. */
function retryDelayOf (headers: Headers): { retryDelay?: number } {
  const value = headers.get('retry-after') ?? ''
  const ms = Number(headers.get('retry-after-ms')) || Number(value) * 1000 || Date.parse(value) - Date.now()
  return ms > 0 ? { retryDelay: Math.ceil(ms) } : {}
}
