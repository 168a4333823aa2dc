import { errors } from '../errors.ts'
import { isId, type Identity } from '../task.ts'

/** The maximum weight of a tenant, in turns per round; the stores count in the same unit. */
const MAX_WEIGHT = 60

/** Whose task it is. */
export interface Owner {
  readonly user_id: string
  readonly org_id: string | null
}

/** An owner, and how many turns its tenant has in a round. */
export type WeightedOwner = Owner & { readonly weight: number }

/** The owner that an identity names; without an `org_id`, or with null, it is the user alone. @throws CHARTS_ERR_INVALID_IDENTITY */
export function checkIdentity (identity: Identity): Owner {
  const { user_id, org_id = null } = identity ?? {}
  if (!isId(user_id) || !(org_id === null || isId(org_id))) throw new errors.CHARTS_ERR_INVALID_IDENTITY()
  return { user_id, org_id }
}

/** `tenantWeight`: the host's hook; without it, every tenant has weight 1. @throws CHARTS_ERR_INVALID_IDENTITY, CHARTS_ERR_INVALID_TENANT_WEIGHT */
export function weightedOwnerOf (identity: Identity, tenantWeight: ((identity: Identity) => number) | undefined): WeightedOwner {
  const { user_id, org_id } = checkIdentity(identity)
  const weight = tenantWeight?.(identity) ?? 1
  if (!Number.isInteger(weight) || weight < 1 || weight > MAX_WEIGHT) throw new errors.CHARTS_ERR_INVALID_TENANT_WEIGHT()
  return { user_id, org_id, weight }
}

/** The tenant whose turns and limits apply: the org, or the user where there is none. */
export const tenantOf = ({ user_id, org_id }: Owner): string => org_id === null ? `user:${user_id}` : `org:${org_id}`
