"""The generated messages of the contract, package ringup.v1."""
