"""Keys in the catalogue, on every engine."""

from __future__ import annotations

import time

import pytest

from retrieval.api_keys import KeyGrant, digest_of, is_well_formed, make_secret
from retrieval.catalogue import Catalogue
from retrieval.errors import Conflict, NotFound
from retrieval.principal import Principal, Scope
from tests.catalogue_fixtures import Opener

GRANT = KeyGrant(
    "acme", "ci", frozenset({Scope.SEARCH, Scope.READ}), frozenset({"group:a", "user:b"}), {"docs": "id-1"}
)


def test_a_key_is_found_by_its_secret_as_it_was_granted_and_the_secret_is_nowhere(catalogue: Catalogue) -> None:
    secret = make_secret()
    made = catalogue.keys.create(GRANT, secret)
    found = catalogue.keys.by_secret(secret)
    assert found == made
    assert found.grant == GRANT
    assert secret.startswith(found.hint)
    assert found.principal() == Principal("acme", GRANT.labels, GRANT.scopes, frozenset({"id-1"}), key=made.id)
    assert catalogue.keys.by_secret(make_secret()) is None
    assert catalogue.keys.by_secret(digest_of(secret)) is None


def test_a_key_of_a_whole_tenant_is_restricted_to_no_collection(catalogue: Catalogue) -> None:
    secret = make_secret()
    catalogue.keys.create(KeyGrant("acme", "all", frozenset({Scope.ADMIN})), secret)
    found = catalogue.keys.by_secret(secret)
    assert found is not None
    assert found.principal().collections is None


def test_whether_a_key_was_ever_made_is_known_after_a_restart_and_after_its_end(opened: Opener) -> None:
    catalogue = opened()
    assert not catalogue.keys.any()
    made = catalogue.keys.create(GRANT, make_secret())
    catalogue.keys.revoke("acme", made.id)
    assert opened().keys.any()


def test_a_revoked_key_says_when_and_stays_revoked(catalogue: Catalogue) -> None:
    secret = make_secret()
    made = catalogue.keys.create(GRANT, secret)
    catalogue.keys.revoke("acme", made.id)
    first = catalogue.keys.by_secret(secret)
    assert first is not None
    assert first.revoked_at is not None
    assert abs(first.revoked_at - time.time()) < 60
    catalogue.keys.revoke("acme", made.id)
    assert catalogue.keys.by_secret(secret) == first


def test_another_tenants_keys_can_neither_be_listed_revoked_nor_rotated(catalogue: Catalogue) -> None:
    secret = make_secret()
    made = catalogue.keys.create(GRANT, secret)
    assert list(catalogue.keys.page("other", after=None, limit=10).items) == []
    with pytest.raises(NotFound):
        catalogue.keys.revoke("other", made.id)
    with pytest.raises(NotFound):
        catalogue.keys.rotate("other", made.id, make_secret(), overlap_s=0)
    assert catalogue.keys.by_secret(secret) == made


def test_a_rotated_key_works_on_for_the_overlap_and_never_longer_than_it_would_have(catalogue: Catalogue) -> None:
    old, new, third = make_secret(), make_secret(), make_secret()
    made = catalogue.keys.create(GRANT, old)
    rotated = catalogue.keys.rotate("acme", made.id, new, overlap_s=3_600)
    assert rotated.id != made.id
    assert rotated.grant == GRANT
    before = catalogue.keys.by_secret(old)
    assert before is not None
    assert before.grant.expires_at == pytest.approx(time.time() + 3_600, abs=60)
    catalogue.keys.rotate("acme", made.id, third, overlap_s=999_999)
    again = catalogue.keys.by_secret(old)
    assert again is not None
    assert again.grant.expires_at == before.grant.expires_at
    assert catalogue.keys.by_secret(new) == rotated


def test_what_is_no_longer_in_force_cannot_be_rotated(catalogue: Catalogue) -> None:
    revoked = catalogue.keys.create(GRANT, make_secret())
    catalogue.keys.revoke("acme", revoked.id)
    ended = catalogue.keys.create(KeyGrant("acme", "old", GRANT.scopes, expires_at=time.time() - 1), make_secret())
    for one in (revoked, ended):
        with pytest.raises(Conflict, match="no longer in force"):
            catalogue.keys.rotate("acme", one.id, make_secret(), overlap_s=1)
    assert len(catalogue.keys.page("acme", after=None, limit=10).items) == 2


def test_keys_are_listed_page_by_page_newest_first_each_once(catalogue: Catalogue) -> None:
    made = [catalogue.keys.create(KeyGrant("acme", f"{n}", GRANT.scopes), make_secret()) for n in range(5)]
    catalogue.keys.create(KeyGrant("other", "x", GRANT.scopes), make_secret())
    after, found = None, []
    while True:
        page = catalogue.keys.page("acme", after=after, limit=2)
        found += page.items
        after = page.next
        if after is None:
            break
    assert sorted(found, key=lambda key: key.id) == sorted(made, key=lambda key: key.id)
    assert [key.created_at for key in found] == sorted((key.created_at for key in made), reverse=True)


def test_a_secret_checks_itself() -> None:
    secrets = {make_secret() for _ in range(200)}
    assert len(secrets) == 200
    for secret in secrets:
        assert len(secret) == 52
        assert is_well_formed(secret)
        for wrong in (secret[:-1], secret + "0", secret.replace("rs_", "sk_"), secret[:10] + "ä" + secret[11:], ""):
            assert not is_well_formed(wrong)
        flipped = "1" if secret[20] != "1" else "2"
        assert not is_well_formed(secret[:20] + flipped + secret[21:])
