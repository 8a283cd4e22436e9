# An SQLite that encrypts, built from the two files in SATCHEL_SQLITE as a shared library of its own: it is installed beside libsatchel, and programs
# link it instead of the system's, since they use the connection that satchel_db gives them.
include(GNUInstallDirs)
add_library(satchel_sqlite SHARED ${SATCHEL_SQLITE}/sqlite3.c)
set_target_properties(satchel_sqlite PROPERTIES OUTPUT_NAME satchel-sqlite3 SOVERSION 0 C_EXTENSIONS ON)
target_include_directories(satchel_sqlite SYSTEM BEFORE PUBLIC
  $<BUILD_INTERFACE:${SATCHEL_SQLITE}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/satchel-sqlite3>)
target_compile_definitions(satchel_sqlite PRIVATE
  SQLITE_ENABLE_SESSION SQLITE_ENABLE_PREUPDATE_HOOK SQLITE_ENABLE_FTS5 SQLITE_ENABLE_RTREE SQLITE_ENABLE_MATH_FUNCTIONS SQLITE_ENABLE_COLUMN_METADATA
  SQLITE_TEMP_STORE=3 # never in a file
  # Of SQLite3 Multiple Ciphers' schemes the one that is its default, ChaCha20-Poly1305, which detects changed pages.
  HAVE_CIPHER_AES_128_CBC=0 HAVE_CIPHER_AES_256_CBC=0 HAVE_CIPHER_SQLCIPHER=0 HAVE_CIPHER_RC4=0 HAVE_CIPHER_ASCON128=0 HAVE_CIPHER_AEGIS=0)
target_compile_options(satchel_sqlite PRIVATE -w)
target_link_libraries(satchel_sqlite PRIVATE Threads::Threads ${CMAKE_DL_LIBS} m)
add_library(PkgConfig::SQLITE ALIAS satchel_sqlite)
install(TARGETS satchel_sqlite EXPORT SatchelTargets LIBRARY COMPONENT library NAMELINK_COMPONENT dev)
install(FILES ${SATCHEL_SQLITE}/sqlite3.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/satchel-sqlite3 COMPONENT dev)
