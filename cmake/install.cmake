# What `cmake --install` puts under the prefix: headers, tool, both libraries, the pkg-config file,
# the CMake package (kin::kin is the shared library, kin::kin_static the static one), man pages.
# Both description files find the prefix from where they lie, so that it can be moved.

include(CMakePackageConfigHelpers)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS kin RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS kin-static kin-shared EXPORT kin
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(KIN_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/kin)
install(EXPORT kin NAMESPACE kin:: DESTINATION ${KIN_PACKAGE_DIR} FILE kin-targets.cmake)
configure_package_config_file(cmake/kin-config.cmake.in kin-config.cmake INSTALL_DESTINATION ${KIN_PACKAGE_DIR})
write_basic_package_version_file(kin-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kin-config.cmake ${PROJECT_BINARY_DIR}/kin-config-version.cmake
    DESTINATION ${KIN_PACKAGE_DIR})

file(RELATIVE_PATH KIN_PC_TO_PREFIX
    ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
# Debian has libuv's static library under another name.
get_filename_component(KIN_UV_DIRECTORY ${KIN_UV_LIBRARY} DIRECTORY)
set(KIN_PC_UV libuv)
if(EXISTS ${KIN_UV_DIRECTORY}/pkgconfig/libuv-static.pc)
    set(KIN_PC_UV libuv-static)
endif()
configure_file(kin.pc.in kin.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/kin.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

foreach(section 1 3 7)
    file(GLOB KIN_MAN_PAGES CONFIGURE_DEPENDS man/*.${section})
    install(FILES ${KIN_MAN_PAGES} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
