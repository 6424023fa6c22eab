"""Places files go: one module per destination behind `contract.Store`.

Nothing is imported here, so that a code location loads only what the destinations it uses need.
"""
