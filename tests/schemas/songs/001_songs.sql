-- A shop of songs, in the shape of a sample database that is made for every database alike: a number for each row, prices as NUMERIC, times as DATETIME, foreign
-- keys that are named and in a place of their own, customers who have somebody to care for them, and the address copied into every invoice. No rules of scope.

CREATE TABLE Genre(GenreId INTEGER NOT NULL, Name NVARCHAR(120), CONSTRAINT PK_Genre PRIMARY KEY(GenreId));
CREATE TABLE MediaType(MediaTypeId INTEGER NOT NULL, Name NVARCHAR(120), CONSTRAINT PK_MediaType PRIMARY KEY(MediaTypeId));
CREATE TABLE Artist(ArtistId INTEGER NOT NULL, Name NVARCHAR(120), CONSTRAINT PK_Artist PRIMARY KEY(ArtistId));
CREATE TABLE Album(
  AlbumId INTEGER NOT NULL,
  Title NVARCHAR(160) NOT NULL,
  ArtistId INTEGER NOT NULL,
  CONSTRAINT PK_Album PRIMARY KEY(AlbumId),
  FOREIGN KEY(ArtistId) REFERENCES Artist(ArtistId) ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE INDEX IFK_AlbumArtistId ON Album(ArtistId);
CREATE TABLE Track(
  TrackId INTEGER NOT NULL,
  Name NVARCHAR(200) NOT NULL,
  AlbumId INTEGER,
  MediaTypeId INTEGER NOT NULL,
  GenreId INTEGER,
  Composer NVARCHAR(220),
  Milliseconds INTEGER NOT NULL,
  Bytes INTEGER,
  UnitPrice NUMERIC(10,2) NOT NULL,
  CONSTRAINT PK_Track PRIMARY KEY(TrackId),
  FOREIGN KEY(AlbumId) REFERENCES Album(AlbumId) ON DELETE NO ACTION ON UPDATE NO ACTION,
  FOREIGN KEY(GenreId) REFERENCES Genre(GenreId) ON DELETE NO ACTION ON UPDATE NO ACTION,
  FOREIGN KEY(MediaTypeId) REFERENCES MediaType(MediaTypeId) ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE INDEX IFK_TrackAlbumId ON Track(AlbumId);
CREATE TABLE Employee(
  EmployeeId INTEGER NOT NULL,
  LastName NVARCHAR(20) NOT NULL,
  ReportsTo INTEGER,
  HireDate DATETIME,
  CONSTRAINT PK_Employee PRIMARY KEY(EmployeeId),
  FOREIGN KEY(ReportsTo) REFERENCES Employee(EmployeeId) ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE TABLE Customer(
  CustomerId INTEGER NOT NULL,
  FirstName NVARCHAR(40) NOT NULL,
  LastName NVARCHAR(20) NOT NULL,
  Company NVARCHAR(80),
  State NVARCHAR(40),
  PostalCode NVARCHAR(10),
  Email NVARCHAR(60) NOT NULL,
  SupportRepId INTEGER,
  CONSTRAINT PK_Customer PRIMARY KEY(CustomerId),
  FOREIGN KEY(SupportRepId) REFERENCES Employee(EmployeeId) ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE INDEX IFK_CustomerSupportRepId ON Customer(SupportRepId);
CREATE TABLE Invoice(
  InvoiceId INTEGER NOT NULL,
  CustomerId INTEGER NOT NULL,
  InvoiceDate DATETIME NOT NULL,
  BillingCity NVARCHAR(40),
  BillingPostalCode NVARCHAR(10),
  Total NUMERIC(10,2) NOT NULL,
  CONSTRAINT PK_Invoice PRIMARY KEY(InvoiceId),
  FOREIGN KEY(CustomerId) REFERENCES Customer(CustomerId) ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE INDEX IFK_InvoiceCustomerId ON Invoice(CustomerId);
CREATE TABLE InvoiceLine(
  InvoiceLineId INTEGER NOT NULL,
  InvoiceId INTEGER NOT NULL,
  TrackId INTEGER NOT NULL,
  UnitPrice NUMERIC(10,2) NOT NULL,
  Quantity INTEGER NOT NULL,
  CONSTRAINT PK_InvoiceLine PRIMARY KEY(InvoiceLineId),
  FOREIGN KEY(InvoiceId) REFERENCES Invoice(InvoiceId) ON DELETE NO ACTION ON UPDATE NO ACTION,
  FOREIGN KEY(TrackId) REFERENCES Track(TrackId) ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE INDEX IFK_InvoiceLineInvoiceId ON InvoiceLine(InvoiceId);
CREATE TABLE Playlist(PlaylistId INTEGER NOT NULL, Name NVARCHAR(120), CONSTRAINT PK_Playlist PRIMARY KEY(PlaylistId));
CREATE TABLE PlaylistTrack(
  PlaylistId INTEGER NOT NULL,
  TrackId INTEGER NOT NULL,
  CONSTRAINT PK_PlaylistTrack PRIMARY KEY(PlaylistId, TrackId),
  FOREIGN KEY(PlaylistId) REFERENCES Playlist(PlaylistId) ON DELETE NO ACTION ON UPDATE NO ACTION,
  FOREIGN KEY(TrackId) REFERENCES Track(TrackId) ON DELETE NO ACTION ON UPDATE NO ACTION
);

INSERT INTO satchel_table(name) VALUES('Genre'), ('MediaType'), ('Artist'), ('Album'), ('Track'), ('Employee'), ('Customer'), ('Invoice'), ('InvoiceLine'), ('Playlist');
INSERT INTO satchel_table(name, key) VALUES('PlaylistTrack', 'natural');
