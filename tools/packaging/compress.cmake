# As Debian has them: manuals and changelogs compressed, the same at each making. Run by CPack over what it has staged.
file(GLOB_RECURSE texts "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*")
list(FILTER texts INCLUDE REGEX "/share/(man/man[1-8]/[^/]+[.][1-8]|doc/[^/]+/changelog)$")
foreach(text IN LISTS texts)
  execute_process(COMMAND gzip -9n ${text} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
