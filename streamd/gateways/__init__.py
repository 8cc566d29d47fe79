"""Payment gateways as the shop meets them: HTTP out, signed messages in. Implements `streamd.shop.gateway`."""
