"""A payment gateway to try things with: a process of its own that takes no real money.

It behaves as real ones do where that hurts: notices come late, repeatedly, in twos, or never; refunds take a while; a
day's bill can be asked for. Run it by `streamd sandbox-gateway`; `streamd serve --demo` starts one.
"""
