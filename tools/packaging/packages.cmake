# Debian packages, from a build that is to lie in /usr:
#
#   cmake -S . -B build-deb -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DSATCHEL_TESTS=OFF && cmake --build build-deb && (cd build-deb && cpack)
#
# satchel-server, satchel-tools, libsatchel0, libsatchel-dev. What the packages alone hold is left out of a plain `cmake --install`, which
# so writes below its prefix only.
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr" OR NOT SATCHEL_SERVER)
  return()
endif()
include(GNUInstallDirs)
set(here ${CMAKE_CURRENT_LIST_DIR})
set(there ${CMAKE_BINARY_DIR}/packaging)

configure_file(${here}/satcheld.service.in ${there}/satcheld.service @ONLY)
configure_file(${here}/changelog.in ${there}/changelog @ONLY)
install(FILES ${there}/satcheld.service DESTINATION lib/systemd/system COMPONENT server EXCLUDE_FROM_ALL)
install(FILES ${here}/satcheld.conf DESTINATION /etc/satchel COMPONENT server EXCLUDE_FROM_ALL)
foreach(pair server:satchel-server tools:satchel-tools library:libsatchel0 dev:libsatchel-dev)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 component)
  list(GET pair 1 package)
  install(FILES ${here}/copyright ${there}/changelog DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component} EXCLUDE_FROM_ALL)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME satchel)
set(CPACK_PACKAGE_VENDOR Satchel)
set(CPACK_PACKAGE_CONTACT "Satchel <satchel@packages.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL server tools library dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${here}/compress.cmake) # manuals and changelogs
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_COMPONENT_SERVER_DESCRIPTION "server that keeps customer data and syncs it with devices
Holds the authoritative copy of a company's customer data and exchanges
changes with phones, tablets and tills that work without a network.
satchelctl is the administrator's tool.")
set(CPACK_DEBIAN_SERVER_PACKAGE_SECTION database)
# The event loop of libwebsockets is loaded when it is asked for: dpkg-shlibdeps does not see it.
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS "adduser, libwebsockets-evlib-uv")
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA ${here}/server/postinst ${here}/server/prerm ${here}/server/postrm ${here}/server/conffiles)

set(CPACK_COMPONENT_TOOLS_DESCRIPTION "Satchel devices at the shell
satchel is a device of a Satchel server as a program: it enrols, syncs and
runs SQL; crm works on its customers, deals and tickets without a network.
satchel-company prints sample data, satchel-load simulates many
devices.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION database)

set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "SQLite databases that sync with a Satchel server, shared library
An application embeds it over an ordinary SQLite file, works offline, and
syncs when there is a network.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${here}/library/triggers)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")

set(CPACK_COMPONENT_DEV_DESCRIPTION "SQLite databases that sync with a Satchel server, development files
Headers, static library, pkg-config file and CMake package of libsatchel.")
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
# The private ones are for static linking; pkg-config wants to see them in any case.
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
  "libsatchel0 (= ${PROJECT_VERSION}), libsqlite3-dev, libcbor-dev, libutf8proc-dev, libzstd-dev, libjansson-dev, libwslay-dev, libmbedtls-dev")
include(CPack)
