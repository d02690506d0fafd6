#compdef kubelatch
_kubelatch() {
    local directive item
    local -a found names spaced
    found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    directive=${found[-1]#:}
    found[-1]=()
    [[ $PREFIX == --*=* ]] && compset -P '*='
    case $directive in
        0) _files; return ;;
        16) _files -/; return ;;
    esac
    for item in $found; do
        # _describe splits at colons, which context names hold.
        item=${item//:/\\:}
        if [[ ${item%%$'\t'*} == *= ]]; then
            spaced+=("${item/$'\t'/:}")
        else
            names+=("${item/$'\t'/:}")
        fi
    done
    _describe -t flags flag spaced -S ''
    _describe -t values value names
}
if [[ $funcstack[1] == _kubelatch ]]; then
    _kubelatch "$@"
else
    compdef _kubelatch kubelatch
fi
