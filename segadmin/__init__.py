"""A self-hosted dashboard for the export jobs of Adobe Experience Platform's Segmentation API."""

__version__ = "0.1.0"
