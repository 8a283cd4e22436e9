-- A wholesaler, in the shape of the sample databases that came with desktop databases: names in capitals, some with blanks or of words of SQL, types of
-- another maker, dates as text, prices as money and reals, keys of letters, of numbers and of two columns.

CREATE TABLE "Area"("AreaID" INTEGER PRIMARY KEY, "Area Name" NCHAR(50) NOT NULL);
CREATE TABLE "District"(
  "DistrictID" NVARCHAR(20) PRIMARY KEY NOT NULL,         -- digits, with zeros before them
  "District Name" NCHAR(50) NOT NULL,
  "AreaID" INTEGER NOT NULL REFERENCES "Area"("AreaID") ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE TABLE "Staff"(
  "StaffID" INTEGER PRIMARY KEY,
  "Last Name" NVARCHAR(20) NOT NULL,
  "First Name" NVARCHAR(10) NOT NULL,
  "Courtesy" TEXT,
  "Born" DATE CHECK("Born" IS NULL OR "Born" < '2020-01-01'),
  "Hired" DATE,
  "Reports To" INTEGER REFERENCES "Staff"("StaffID"),
  "Photo" BLOB,
  "Notes" TEXT
);
CREATE INDEX "Staff Reports" ON "Staff"("Reports To");
CREATE TABLE "Staff District"(
  "StaffID" INTEGER NOT NULL REFERENCES "Staff"("StaffID"),
  "DistrictID" NVARCHAR(20) NOT NULL REFERENCES "District"("DistrictID"),
  PRIMARY KEY("StaffID", "DistrictID")
);
CREATE TABLE "Carrier"("CarrierID" INTEGER PRIMARY KEY, "Carrier Name" NVARCHAR(40) NOT NULL, "Phone" NVARCHAR(24));
CREATE TABLE "Vendor"(
  "VendorID" INTEGER PRIMARY KEY,
  "Company" NVARCHAR(40) NOT NULL,
  "Postal Code" NVARCHAR(10),
  "Country" NVARCHAR(15),
  "Home Page" TEXT
);
CREATE TABLE "Category"("CategoryID" INTEGER PRIMARY KEY, "Name" NVARCHAR(15) NOT NULL, "Description" NTEXT, "Picture" BLOB);
CREATE TABLE "Product"(
  "ProductID" INTEGER PRIMARY KEY,
  "Name" NVARCHAR(40) NOT NULL,
  "VendorID" INTEGER REFERENCES "Vendor"("VendorID"),
  "CategoryID" INTEGER REFERENCES "Category"("CategoryID"),
  "Quantity Per Unit" NVARCHAR(20),
  "Unit Price" MONEY DEFAULT (0) CHECK("Unit Price" >= 0),
  "In Stock" SMALLINT DEFAULT (0),
  "Discontinued" BIT NOT NULL DEFAULT (0)
);
CREATE INDEX "Product Category" ON "Product"("CategoryID");
CREATE TABLE "Customer"(
  "CustomerID" NCHAR(5) PRIMARY KEY NOT NULL,             -- of letters
  "Company" NVARCHAR(40) NOT NULL,
  "Contact" NVARCHAR(30),
  "City" NVARCHAR(15),
  "Region" NVARCHAR(15),
  "Postal Code" NVARCHAR(10),
  "Country" NVARCHAR(15),
  "Phone" NVARCHAR(24)
);
CREATE INDEX "Customer City" ON "Customer"("City");
CREATE TABLE "Order"(
  "OrderID" INTEGER PRIMARY KEY,
  "CustomerID" NCHAR(5) REFERENCES "Customer"("CustomerID"),
  "StaffID" INTEGER REFERENCES "Staff"("StaffID"),
  "Ordered" DATETIME,
  "Shipped" DATETIME,
  "Ship Via" INTEGER REFERENCES "Carrier"("CarrierID"),
  "Freight" MONEY DEFAULT (0),
  "Ship Country" NVARCHAR(15)
);
CREATE INDEX "Order Customer" ON "Order"("CustomerID");
CREATE TABLE "Order Line"(
  "OrderID" INTEGER NOT NULL REFERENCES "Order"("OrderID"),
  "ProductID" INTEGER NOT NULL REFERENCES "Product"("ProductID"),
  "Unit Price" MONEY NOT NULL DEFAULT (0),
  "Quantity" SMALLINT NOT NULL DEFAULT (1) CHECK("Quantity" > 0),
  "Discount" REAL NOT NULL DEFAULT (0) CHECK("Discount" >= 0 AND "Discount" <= 1),
  PRIMARY KEY("OrderID", "ProductID")
);
CREATE INDEX "Order Line Product" ON "Order Line"("ProductID");

INSERT INTO satchel_table(name, key) VALUES('Area', 'natural'), ('District', 'natural'), ('Staff', 'natural'), ('Staff District', 'natural'), ('Carrier', 'natural'),
  ('Vendor', 'natural'), ('Category', 'natural'), ('Product', 'natural'), ('Customer', 'natural'), ('Order', 'unique'), ('Order Line', 'natural');
