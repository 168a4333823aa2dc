/** Stands for your session: a header is what the client writes. */
export function identify ({ headers: { 'x-user': user_id } }) {
  return typeof user_id === 'string' && user_id !== '' ? { user_id } : null
}
