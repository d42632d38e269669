"""Measures monitoring: false alerts on clean days, harms found and named, dirty data caught, drift, pages."""
