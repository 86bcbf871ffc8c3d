"""Mistakes as people make them: parts, objects, outlines, slices, classes and files mixed up."""
