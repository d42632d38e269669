"""The one room that knows Evidently: our measures as its metrics, its drift reports, its dashboards and its pages."""
