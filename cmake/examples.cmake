# Examples: one program for each file of examples/, in examples/ of the build directory; a file
# lib*.c is a shared object for `kin map`, in lib/.

find_package(OpenSSL QUIET)

file(GLOB KIN_EXAMPLE_SOURCES CONFIGURE_DEPENDS examples/*.c)
foreach(source ${KIN_EXAMPLE_SOURCES})
    get_filename_component(name ${source} NAME_WE)
    if(name MATCHES "^lib(.*)$")
        if(NOT OPENSSL_FOUND)
            message(STATUS "examples/${name}.c is left out: OpenSSL is not installed (libssl-dev)")
            continue()
        endif()
        add_library(example-${name} MODULE ${source})
        set_target_properties(example-${name} PROPERTIES OUTPUT_NAME ${CMAKE_MATCH_1})
        target_include_directories(example-${name} PRIVATE include)
        target_link_libraries(example-${name} PRIVATE OpenSSL::Crypto)
    else()
        add_executable(example-${name} ${source})
        set_target_properties(example-${name} PROPERTIES
            OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
        target_link_libraries(example-${name} PRIVATE kin-static Threads::Threads m)
    endif()
endforeach()
