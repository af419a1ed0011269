"""Routes: what is tried again, on whose word, and what is taken out. Leaves out Envoy (``tests/functional``)."""

from injector.discovery import http

SAFE = {"connect-failure", "refused-stream", "reset-before-request"}


def test_a_request_is_tried_again_on_a_proxys_word_and_never_on_an_applications() -> None:
    """The application has the request by the time that it says anything."""
    said = {}
    for application in (False, True):
        made = http.routes("any", "any", application=application)
        retry = made.virtual_hosts[0].routes[0].route.retry_policy
        said[application] = (set(retry.retry_on.split(",")), [each.name for each in retry.retriable_headers])
        assert [http.UNDELIVERED] == list(made.response_headers_to_remove)
    assert {False: ({*SAFE, "retriable-headers"}, [http.UNDELIVERED]), True: (SAFE, [])} == said


def test_what_a_program_would_take_for_the_proven_caller_is_taken_out() -> None:
    """CGI and WSGI make one variable of ``x-forwarded-client-cert`` and of every spelling with underscores."""
    variable = "X_FORWARDED_CLIENT_CERT"
    assert 7 == len(set(http.LOOKALIKES))
    assert {variable} == {each.upper().replace("-", "_") for each in http.LOOKALIKES}
    assert "x-forwarded-client-cert" not in http.LOOKALIKES
    assert list(http.LOOKALIKES) == list(http.routes("any", "any", without=http.LOOKALIKES).request_headers_to_remove)
