"""A stand-in for the Qlik Sense Repository Service, for trying the service out, developing and testing.

Not production code: nothing that starts real tasks may import it.
"""
