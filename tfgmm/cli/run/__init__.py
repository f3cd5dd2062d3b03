"""A run of `tfgmm fit`: its settings, its folder, the fit itself."""
