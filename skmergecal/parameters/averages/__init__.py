"""Task vectors and Fisher-weighted averages: alternatives to the plain average of parameters."""
