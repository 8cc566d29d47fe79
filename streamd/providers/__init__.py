"""Others who know who somebody is, a file each. Implements `streamd.accounts.outside.IdentityProvider`."""
