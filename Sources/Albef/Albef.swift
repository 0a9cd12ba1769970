// Albef
