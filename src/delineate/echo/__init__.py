"""Echocardiography: volumes, ejection fraction and strain-ready contours of the left ventricle from its outlines."""
