"""Dataflows of Adobe Experience Platform, as its API gives them, turned into declarations of ours."""
