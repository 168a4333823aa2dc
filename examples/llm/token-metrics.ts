// Tokens as a metric of OpenTelemetry, by the names of its conventions for generative AI.
import { metrics } from '@opentelemetry/api'
import type { Usage } from './ask-model.ts'

export function tokenMetrics (provider: string): (usage: Usage) => void {
  const tokens = metrics.getMeter('charts').createHistogram('gen_ai.client.token.usage', {
    unit: '{token}',
    description: 'Number of input and output tokens used',
    advice: { explicitBucketBoundaries: [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576] }
  })
  return ({ model, input_tokens, output_tokens }) => {
    for (const [type, count] of [['input', input_tokens], ['output', output_tokens]] as const) {
      tokens.record(count, {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': provider,
        'gen_ai.request.model': model,
        'gen_ai.token.type': type
      })
    }
  }
}
