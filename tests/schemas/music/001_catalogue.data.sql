INSERT INTO genre(name) VALUES('Jazz'), ('Fado'), ('Techno'), ('Câmara');
