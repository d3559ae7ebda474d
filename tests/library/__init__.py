"""The wheel of the components, outside this clone: installed, type-checked, run, hosted."""
