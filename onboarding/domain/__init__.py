"""The pure domain: values and rules. Imports the standard library only; time is always an argument."""
