"""Who is champion of a category: gate, promotion, rollback, history."""
